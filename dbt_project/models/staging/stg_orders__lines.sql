with orders as (

    select * from {{ source('raw', 'orders') }}

),

lines as (

    select
        order_id,
        product_id,
        nullif(trim(description), '') as description,
        customer_id,
        country,
        quantity,
        unit_price,
        cast(quantity * unit_price as decimal(18, 3)) as amount,
        ordered_at,
        cast(ordered_at as date) as ordered_on,
        -- A C line that takes nothing back is a slip of the order system; counted as a cancellation
        -- it would add to what the customer holds.
        order_id like 'C%' and quantity < 0 as is_cancellation,
        order_id not like 'C%' and quantity > 0 as is_purchase,
        {{ matches('product_id', var('product_pattern')) }} as is_product,
        _delivery as delivery
    from orders

)

select * from lines
