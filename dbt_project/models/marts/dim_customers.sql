with lines as (

    select * from {{ ref('stg_orders__lines') }}
    where customer_id is not null

),

totals as (

    select
        customer_id,
        min(case when is_purchase then ordered_on end) as first_ordered_on,
        max(case when is_purchase then ordered_on end) as last_ordered_on,
        count(distinct case when is_purchase then order_id end) as orders,
        count(case when is_purchase then 1 end) as lines,
        count(distinct case when is_cancellation then order_id end) as cancellations,
        sum(case when is_purchase then amount else 0 end) as purchased_amount,
        sum(case when is_cancellation then amount else 0 end) as cancelled_amount
    from lines
    group by customer_id

),

places as (

    select
        customer_id,
        country,
        row_number() over (
            partition by customer_id
            order by ordered_at desc, order_id desc, country
        ) as recency
    from lines

),

accounts as (

    select * from {{ ref('stg_customers__accounts') }}

)

select
    totals.customer_id,
    places.country,
    accounts.country as account_country,
    accounts.joined_on,
    accounts.newsletter,
    totals.first_ordered_on,
    totals.last_ordered_on,
    totals.orders,
    totals.lines,
    totals.cancellations,
    cast(totals.purchased_amount as decimal(18, 3)) as purchased_amount,
    cast(totals.cancelled_amount as decimal(18, 3)) as cancelled_amount
from totals
inner join places
    on totals.customer_id = places.customer_id
left join accounts
    on totals.customer_id = accounts.customer_id
where places.recency = 1
order by totals.customer_id
