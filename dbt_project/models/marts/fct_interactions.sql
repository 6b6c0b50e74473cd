-- Cancellations stay rows with their own day: whoever asks what was known at some moment takes the
-- rows up to it and adds them up, and sees nothing of what was taken back later.

with lines as (

    select * from {{ ref('stg_orders__lines') }}
    where is_product and customer_id is not null

),

matched as (

    select * from {{ ref('int_cancellations_matched') }}

),

interactions as (

    select
        customer_id,
        product_id,
        ordered_on as day,
        ordered_on as purchased_on,
        'purchase' as kind,
        cast(sum(quantity) as bigint) as quantity,
        cast(sum(amount) as decimal(18, 3)) as amount
    from lines
    where is_purchase
    group by
        customer_id,
        product_id,
        ordered_on

    union all

    select
        customer_id,
        product_id,
        cancelled_on as day,
        purchased_on,
        'cancellation' as kind,
        -quantity as quantity,
        -amount as amount
    from matched

)

select
    customer_id,
    product_id,
    day,
    purchased_on,
    kind,
    quantity,
    amount
from interactions
order by
    day,
    customer_id,
    product_id,
    purchased_on,
    kind
