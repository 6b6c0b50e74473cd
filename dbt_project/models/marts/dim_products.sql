with lines as (

    select
        *,
        is_purchase and unit_price > 0 as is_sale
    from {{ ref('stg_orders__lines') }}
    where is_product

),

totals as (

    select
        product_id,
        min(case when is_sale then ordered_on end) as first_sold_on,
        max(case when is_sale then ordered_on end) as last_sold_on,
        count(distinct case when is_sale then order_id end) as orders,
        count(distinct case when is_sale then customer_id end) as customers,
        sum(case when is_sale then quantity else 0 end) as sold_quantity,
        sum(case when is_sale then amount else 0 end) as sold_amount
    from lines
    group by product_id

),

description_uses as (

    select
        product_id,
        description,
        count(case when is_sale then 1 end) as sales,
        max(ordered_at) as last_used_at
    from lines
    where description is not null
    group by
        product_id,
        description

),

descriptions as (

    select
        product_id,
        description,
        row_number() over (
            partition by product_id
            order by sales desc, last_used_at desc, description
        ) as preference
    from description_uses

),

prices as (

    select
        product_id,
        unit_price,
        row_number() over (
            partition by product_id
            order by ordered_at desc, order_id desc, unit_price desc
        ) as recency
    from lines
    where is_sale

),

catalog as (

    select * from {{ ref('stg_products__products') }}

)

select
    totals.product_id,
    descriptions.description,
    catalog.title,
    catalog.category,
    catalog.list_price,
    catalog.introduced_on,
    totals.first_sold_on,
    totals.last_sold_on,
    prices.unit_price as last_price,
    totals.orders,
    totals.customers,
    cast(totals.sold_quantity as bigint) as sold_quantity,
    cast(totals.sold_amount as decimal(18, 3)) as sold_amount
from totals
left join descriptions
    on
        totals.product_id = descriptions.product_id
        and descriptions.preference = 1
left join prices
    on
        totals.product_id = prices.product_id
        and prices.recency = 1
left join catalog
    on totals.product_id = catalog.product_id
order by totals.product_id
